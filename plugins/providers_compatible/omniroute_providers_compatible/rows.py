"""The table. To add a gateway, add a row; if it needs code, it gets a plugin of its own.

Facts as OmniRoute 1.0.6 and 3.7.9 shipped them, compared on 2026-11-22. Those versions price most of these models at 0 because
nobody had looked the price up; such a price is left out here, for 0 would say that the model is free.
"""

from collections.abc import Mapping

from omniroute.api import ModelFacts, Operation, Price, ProviderFacts

__all__ = ["ROWS"]


def row(
    name: str,
    display_name: str,
    base_url: str,
    docs_url: str,
    *models: ModelFacts,
    named: Mapping[str, str] | None = None,
    aliases: tuple[str, ...] = (),
    operations: tuple[Operation, ...] | None = None,
    refuses_reasoning: bool = False,
) -> ProviderFacts:
    """`models` are models of which more is known than the name; `named` is id → name of the others."""
    return ProviderFacts(
        name=name,
        dialect="openai-chat",
        base_url=base_url,
        aliases=aliases,
        display_name=display_name,
        docs_url=docs_url,
        checked="2026-11-22",
        any_model=True,
        operations=operations,
        refuses_reasoning=refuses_reasoning,
        models=(*models, *(ModelFacts(id=model, name=title) for model, title in (named or {}).items())),
    )


ROWS = (
    row(
        "groq",
        "Groq",
        "https://api.groq.com/openai/v1",
        "https://groq.com",
        named={
            "llama-3.3-70b-versatile": "Llama 3.3 70B",
            "meta-llama/llama-4-maverick-17b-128e-instruct": "Llama 4 Maverick",
            "qwen/qwen3-32b": "Qwen3 32B",
            "openai/gpt-oss-120b": "GPT-OSS 120B",
        },
        refuses_reasoning=True,
    ),
    row(
        "xai",
        "xAI (Grok)",
        "https://api.x.ai/v1",
        "https://x.ai",
        ModelFacts(id="grok-4.3", name="Grok 4.3", context_tokens=1_000_000),
        ModelFacts(id="grok-4.20-multi-agent-0309", name="Grok 4.20 Multi Agent", context_tokens=2_000_000),
        ModelFacts(id="grok-4.20-0309-reasoning", name="Grok 4.20 Reasoning", context_tokens=2_000_000),
        ModelFacts(id="grok-4.20-0309-non-reasoning", name="Grok 4.20", context_tokens=2_000_000),
        ModelFacts(
            id="grok-4-fast-reasoning",
            name="Grok 4 Fast Reasoning",
            price=Price(
                input_usd=0.2,
                output_usd=0.5,
                cached_usd=0.1,
                cache_write_usd=0.2,
                reasoning_usd=0.75,
                as_of="OmniRoute 3.7.9",
            ),
        ),
        ModelFacts(
            id="grok-3",
            name="Grok 3",
            price=Price(
                input_usd=3,
                output_usd=15,
                cached_usd=1.5,
                cache_write_usd=3,
                reasoning_usd=22.5,
                as_of="OmniRoute 3.7.9",
            ),
        ),
        named={
            "grok-4-1-fast-reasoning": "Grok 4.1 Fast Reasoning",
            "grok-4-1-fast-non-reasoning": "Grok 4.1 Fast",
            "grok-4": "Grok 4",
            "grok-code-fast-1": "Grok Code Fast",
        },
    ),
    row(
        "mistral",
        "Mistral",
        "https://api.mistral.ai/v1",
        "https://mistral.ai",
        named={
            "mistral-large-latest": "Mistral Large 3",
            "mistral-medium-latest": "Mistral Medium 3.1",
            "mistral-small-latest": "Mistral Small 4",
            "devstral-latest": "Devstral 2",
            "codestral-latest": "Codestral",
        },
    ),
    row(
        "together",
        "Together AI",
        "https://api.together.xyz/v1",
        "https://www.together.ai",
        named={
            "meta-llama/Llama-3.3-70B-Instruct-Turbo": "Llama 3.3 70B Turbo",
            "meta-llama/Llama-3.3-70B-Instruct-Turbo-Free": "Llama 3.3 70B Turbo (Free)",
            "meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8": "Llama 4 Maverick",
            "meta-llama/Llama-Vision-Free": "Llama Vision (Free)",
            "deepseek-ai/DeepSeek-R1": "DeepSeek R1",
            "deepseek-ai/DeepSeek-R1-Distill-Llama-70B-Free": "DeepSeek R1 Distill 70B (Free)",
            "Qwen/Qwen3-235B-A22B": "Qwen3 235B",
        },
    ),
    row(
        "fireworks",
        "Fireworks AI",
        "https://api.fireworks.ai/inference/v1",
        "https://fireworks.ai",
        named={
            "accounts/fireworks/models/kimi-k2p6": "Kimi K2.6",
            "accounts/fireworks/models/minimax-m2p7": "MiniMax M2.7",
            "accounts/fireworks/models/qwen3p6-plus": "Qwen3.6 Plus",
            "accounts/fireworks/models/glm-5p1": "GLM 5.1",
            "accounts/fireworks/models/deepseek-v3p2": "DeepSeek V3.2",
            "accounts/fireworks/models/deepseek-v3p1": "DeepSeek V3.1",
            "accounts/fireworks/models/llama-v3p3-70b-instruct": "Llama 3.3 70B",
            "accounts/fireworks/models/qwen3-235b-a22b": "Qwen3 235B",
        },
    ),
    row(
        "cerebras",
        "Cerebras",
        "https://api.cerebras.ai/v1",
        "https://www.cerebras.ai",
        named={
            "gpt-oss-120b": "GPT OSS 120B",
            "zai-glm-4.7": "GLM 4.7",
            "llama-3.3-70b": "Llama 3.3 70B",
            "llama-4-scout-17b-16e-instruct": "Llama 4 Scout",
            "qwen-3-235b-a22b-instruct-2507": "Qwen3 235B A22B",
            "qwen-3-32b": "Qwen3 32B",
        },
        refuses_reasoning=True,
    ),
    row(
        "nvidia",
        "NVIDIA NIM",
        "https://integrate.api.nvidia.com/v1",
        "https://developer.nvidia.com/nim",
        named={
            "z-ai/glm-5.1": "GLM 5.1",
            "z-ai/glm4.7": "GLM 4.7",
            "minimaxai/minimax-m2.7": "MiniMax M2.7",
            "moonshotai/kimi-k2.5": "Kimi K2.5",
            "deepseek-ai/deepseek-v4-pro": "DeepSeek V4 Pro",
            "deepseek-ai/deepseek-v3.2": "DeepSeek V3.2",
            "deepseek/deepseek-r1": "DeepSeek R1",
            "qwen/qwen3.5-397b-a17b": "Qwen3.5-397B-A17B",
            "qwen/qwen3.5-122b-a10b": "Qwen3.5-122B-A10B",
            "mistralai/mistral-large-3-675b-instruct-2512": "Mistral Large 3 675B",
            "mistralai/mistral-small-4-119b-2603": "Mistral Small 4 2603",
            "mistralai/devstral-2-123b-instruct-2512": "Devstral 2 123B",
            "google/gemma-4-31b-it": "Gemma 4 31B",
            "stepfun-ai/step-3.5-flash": "Step 3.5 Flash",
            "openai/gpt-oss-120b": "GPT OSS 120B",
            "openai/gpt-oss-20b": "GPT OSS 20B",
            "nvidia/nemotron-3-super-120b-a12b": "Nemotron 3 Super 120B A12B",
            "nvidia/llama-3.3-70b-instruct": "Llama 3.3 70B",
            "meta/llama-4-maverick-17b-128e-instruct": "Llama 4 Maverick",
        },
    ),
    row(
        "nebius",
        "Nebius AI",
        "https://api.tokenfactory.nebius.com/v1",
        "https://nebius.com",
        named={"meta-llama/Llama-3.3-70B-Instruct": "Llama 3.3 70B Instruct"},
    ),
    row(
        "siliconflow",
        "SiliconFlow",
        "https://api.siliconflow.com/v1",
        "https://cloud.siliconflow.com",
        named={
            "deepseek-ai/DeepSeek-V3.2": "DeepSeek V3.2",
            "deepseek-ai/DeepSeek-V3.1": "DeepSeek V3.1",
            "deepseek-ai/DeepSeek-R1": "DeepSeek R1",
            "Qwen/Qwen3-235B-A22B-Instruct-2507": "Qwen3 235B",
            "Qwen/Qwen3-Coder-480B-A35B-Instruct": "Qwen3 Coder 480B",
            "Qwen/Qwen3-32B": "Qwen3 32B",
            "moonshotai/Kimi-K2.5": "Kimi K2.5",
            "zai-org/GLM-4.7": "GLM 4.7",
            "openai/gpt-oss-120b": "GPT OSS 120B",
            "baidu/ERNIE-4.5-300B-A47B": "ERNIE 4.5 300B",
        },
    ),
    row(
        "hyperbolic",
        "Hyperbolic",
        "https://api.hyperbolic.xyz/v1",
        "https://hyperbolic.xyz",
        aliases=("hyp",),
        operations=("chat",),  # no model list that anybody has documented
        named={
            "Qwen/QwQ-32B": "QwQ 32B",
            "Qwen/Qwen2.5-72B-Instruct": "Qwen 2.5 72B",
            "Qwen/Qwen2.5-Coder-32B-Instruct": "Qwen 2.5 Coder 32B",
            "deepseek-ai/DeepSeek-R1": "DeepSeek R1",
            "deepseek-ai/DeepSeek-V3": "DeepSeek V3",
            "meta-llama/Llama-3.3-70B-Instruct": "Llama 3.3 70B",
            "meta-llama/Llama-3.2-3B-Instruct": "Llama 3.2 3B",
            "NousResearch/Hermes-3-Llama-3.1-70B": "Hermes 3 70B",
        },
    ),
)
