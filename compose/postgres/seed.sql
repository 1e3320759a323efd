-- Example data for the development database: `cargo xtask db seed` runs it in one transaction, as the application's role.
-- Run twice it adds nothing; a row that was changed by hand stays as it is.

INSERT INTO items (name, value)
SELECT name, value::jsonb
FROM (VALUES
    ('lighthouse', '{"height_m": 38, "lit": true}'),
    ('breakwater', '{"length_m": 420, "built": 1911}'),
    ('pilot boat', '{"crew": ["Ada", "Ben"], "draught_m": 1.8}'),
    ('tide table', '[{"high": "04:12", "low": "10:31"}, {"high": "16:40", "low": "22:55"}]'),
    ('harbour master', '"on duty"')
) AS seed (name, value)
WHERE NOT EXISTS (SELECT FROM items WHERE items.name = seed.name);
