-- Which Idempotency-Key made which item. The key is claimed in the transaction that inserts the item, before it: the
-- reference is checked at the commit. Expand only.
CREATE TABLE idempotency_keys (
    key TEXT PRIMARY KEY,
    item_id BIGINT NOT NULL REFERENCES items (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- For the sweep that forgets old keys.
CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);
