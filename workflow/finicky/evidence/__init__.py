"""From tidy tables to verdicts: intervals, rules, the ledger of claims, and the judge."""
