-- The visitors' count as Redis had it at the last flush: one row. Visits that could not reach Redis are parked in
-- visitor_debts until any replica pays them in; (instance, batch) is what makes paying twice harmless. Expand only.
CREATE TABLE visitors (
    id SMALLINT PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    count BIGINT NOT NULL DEFAULT 0 CHECK (count >= 0)
);

INSERT INTO visitors DEFAULT VALUES;

CREATE TABLE visitor_debts (
    instance TEXT NOT NULL,
    batch BIGINT NOT NULL,
    visits BIGINT NOT NULL CHECK (visits > 0),
    PRIMARY KEY (instance, batch)
);
