"""The contract, from facts and vocabularies."""

from collections.abc import Sequence

from omniroute.api import TokenCounter, TokenOverhead
from omniroute_tokens_offline.families import Family, family_of
from omniroute_tokens_offline.vocabulary import vocabulary

__all__ = ["OfflineCounter"]


class OfflineCounter(TokenCounter):
    """Knows the models of `FAMILIES`. A vocabulary is loaded when it is first needed and kept."""

    name = "offline"

    def counts(self, model: str) -> bool:
        return family_of(model) is not None

    def count_text(self, model: str, texts: Sequence[str]) -> int:
        family = _known(model)
        count = vocabulary(family.vocabulary).count
        return round(sum(map(count, texts)) * family.factor)

    def count_image(self, model: str, size: tuple[int, int] | None, detail: str | None) -> int | None:
        rule = _known(model).image
        return None if rule is None else rule.tokens(size, detail)

    def overhead(self, model: str) -> TokenOverhead:
        return _known(model).overhead


def _known(model: str) -> Family:
    family = family_of(model)
    if family is None:
        raise LookupError(f"no tokenizer is known for {model!r}; ask `counts` first")
    return family
