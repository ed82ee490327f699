"""A model in this process, through vLLM."""
