ALTER TABLE visitor_debts DROP COLUMN note;
ALTER TABLE visitors DROP COLUMN note;
ALTER TABLE idempotency_keys DROP COLUMN note;
ALTER TABLE items DROP COLUMN colour;
