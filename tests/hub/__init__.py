"""A stand-in for the Hugging Face Hub, spoken to by the real client libraries."""
