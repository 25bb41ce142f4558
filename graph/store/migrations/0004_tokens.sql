-- Tokens of language models stand in the same ledger; a line without them is a job's.
ALTER TABLE ledger ADD COLUMN input_tokens INTEGER;
ALTER TABLE ledger ADD COLUMN output_tokens INTEGER;
