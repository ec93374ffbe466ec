"""Model servers on this machine: Ollama, llama.cpp, LM Studio, vLLM."""
