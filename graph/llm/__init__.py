"""Optional judgement by a language model, at the places where it helps. It fills in typed answers that are checked like
anybody's; it never approves, spends or publishes. Without one the rules decide alone.
"""
