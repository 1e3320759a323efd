-- What a next version may do by the rule "expand, then contract". Each statement needs its table for itself; they come in
-- the order in which the service uses the tables, or the two would wait for each other.
ALTER TABLE idempotency_keys ADD COLUMN note TEXT;
ALTER TABLE items ADD COLUMN colour TEXT;
ALTER TABLE visitors ADD COLUMN note TEXT;
ALTER TABLE visitor_debts ADD COLUMN note TEXT;
