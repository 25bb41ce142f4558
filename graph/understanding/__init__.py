"""Task understanding without an LLM: from a sentence and flags to a typed task, a question, or a refusal."""

from graph.understanding.read import Understanding, understand

__all__ = ["Understanding", "understand"]
