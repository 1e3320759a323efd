//! Owns the tables as diesel sees them. The migrations own what they are.

diesel::table! {
    items (id) {
        id -> BigInt,
        name -> Text,
        value -> Jsonb,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    idempotency_keys (key) {
        key -> Text,
        item_id -> BigInt,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    visitors (id) {
        id -> SmallInt,
        count -> BigInt,
    }
}

diesel::table! {
    visitor_debts (instance, batch) {
        instance -> Text,
        batch -> BigInt,
        visits -> BigInt,
    }
}

diesel::allow_tables_to_appear_in_same_query!(items, idempotency_keys);
