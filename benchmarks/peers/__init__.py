"""PromptFlow beside other optimisers of prompts: see `__main__.py` and docs/decisions/peers.md."""
