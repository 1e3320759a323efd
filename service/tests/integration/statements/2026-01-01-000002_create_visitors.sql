-- Every statement that the version with this newest migration sends, as Postgres has seen it.

DELETE FROM "visitor_debts" WHERE (("visitor_debts"."instance" = $1) AND ("visitor_debts"."batch" = $2));

DELETE FROM idempotency_keys WHERE key IN (SELECT key FROM idempotency_keys WHERE created_at < now() - make_interval(secs => $1) LIMIT $2 FOR UPDATE SKIP LOCKED);

INSERT INTO "visitor_debts" ("instance", "batch", "visits") VALUES ($1, $2, $3) ON CONFLICT DO NOTHING;

-- types: text[], unknown
INSERT INTO idempotency_keys (key, item_id) SELECT key, nextval($2) FROM unnest($1) AS claims (key) ORDER BY key ON CONFLICT (key) DO NOTHING RETURNING key, item_id;

SELECT "idempotency_keys"."key", "items"."id", "items"."name", "items"."value", "items"."created_at" FROM ("idempotency_keys" INNER JOIN "items" ON ("items"."id" = "idempotency_keys"."item_id")) WHERE ("idempotency_keys"."key" = ANY($1));

SELECT "items"."id", "items"."name", "items"."value", "items"."created_at" FROM "items" WHERE ("items"."id" = $1) LIMIT $2;

SELECT "visitor_debts"."instance", "visitor_debts"."batch", "visitor_debts"."visits" FROM "visitor_debts" ORDER BY "visitor_debts"."instance", "visitor_debts"."batch";

SELECT "visitors"."count" FROM "visitors" LIMIT $1;

SELECT count(*) AS applied FROM __diesel_schema_migrations WHERE version = ANY($1);

SELECT id, name, value, created_at, following FROM (SELECT id, name, value, created_at, lead(id) OVER newer AS following, COALESCE(sum(octet_length(value::text)) OVER newer, $5) AS bytes_before FROM (SELECT id, name, value, created_at FROM items WHERE id < $1 ORDER BY id DESC LIMIT $2) AS candidates WINDOW newer AS (ORDER BY id DESC ROWS BETWEEN UNBOUNDED PRECEDING AND $6 PRECEDING)) AS page WHERE bytes_before < $3 ORDER BY id DESC LIMIT $4;

SELECT to_regclass($1) IS NOT NULL AS present, current_setting($2) = $3 AS read_only;

UPDATE visitors SET count = GREATEST(count, $1) RETURNING count;

-- types: bigint[], text[], text[], unknown
WITH input AS MATERIALIZED (SELECT number, COALESCE(id, nextval($4)) AS id, name, value::jsonb AS value FROM unnest($1, $2, $3) WITH ORDINALITY AS rows (id, name, value, number)), inserted AS (INSERT INTO items (id, name, value) SELECT id, name, value FROM input RETURNING id, created_at) SELECT number, id, created_at FROM inserted JOIN input USING (id);
