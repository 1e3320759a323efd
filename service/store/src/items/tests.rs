//! Owns the tables of what an item, a key, a cursor and a limit may be.

use serde_json::{Value, json};

use super::{Cursor, IdempotencyKey, ItemId, Limit, NewItem, Refusal};

fn nested(depth: usize) -> Value {
    (0..depth)
        .fold(Value::Null, |value, level| if level % 2 == 0 { json!([value]) } else { json!({ "a": value }) })
}

#[test]
fn a_new_item_is_checked() {
    let cases = [
        ("a".to_owned(), json!(null), Ok(())),
        ("é".repeat(200), json!({ "a": [1, "b"] }), Ok(())),
        (String::new(), json!(1), Err(Refusal::NameLength)),
        ("a".repeat(201), json!(1), Err(Refusal::NameLength)),
        ("a\0".to_owned(), json!(1), Err(Refusal::Nul)),
        ("a".to_owned(), json!("\0"), Err(Refusal::Nul)),
        ("a".to_owned(), json!([{ "b\0": 1 }]), Err(Refusal::Nul)),
        ("a".to_owned(), nested(64), Ok(())),
        ("a".to_owned(), nested(65), Err(Refusal::Depth)),
        ("a".to_owned(), json!([vec![1e307; 400], [0.5, 1e15]]), Ok(())),
        ("a".to_owned(), json!([vec![1e307; 400], { "b": vec![-1e307; 30] }]), Err(Refusal::Digits)),
        ("a".to_owned(), json!(vec![1e-307; 400]), Ok(())),
        ("a".to_owned(), json!(vec![1e-307; 430]), Err(Refusal::Digits)),
        ("a".to_owned(), json!(vec![1e15; 30_000]), Ok(())),
    ];
    for (name, value, expected) in cases {
        let text = format!("{name:?} {value}");
        assert_eq!(NewItem::new(name, value).map(|_| ()), expected, "{text}");
    }
}

#[test]
fn numbers_take_the_form_in_which_postgres_gives_them_back() {
    for (sent, kept) in [
        ("1", "1"),
        ("1.0", "1.0"),
        ("-0.0", "0.0"),
        ("1e15", "1000000000000000.0"),
        ("1e16", "10000000000000000"),
        ("-1e16", "-10000000000000000"),
        ("18446744073709551615", "18446744073709551615"),
        ("1e300", "1e+300"),
        ("1e-7", "1e-7"),
    ] {
        let value = serde_json::from_str(sent).unwrap();
        assert_eq!(NewItem::new("n".to_owned(), value).unwrap().value(), kept, "{sent}");
    }
}

#[test]
fn ids_are_digits_above_zero() {
    assert_eq!(ItemId::parse("1").map(|id| id.to_string()).as_deref(), Some("1"));
    assert_eq!(ItemId::parse("9223372036854775807"), Some(ItemId(i64::MAX)));
    for text in ["", "0", "-1", "+1", "1 ", "9223372036854775808", "1e3", "٣"] {
        assert_eq!(ItemId::parse(text), None, "{text:?}");
    }
}

#[test]
fn a_cursor_reads_back_and_nothing_else_is_one() {
    for id in [0, 1, 255, i64::MAX] {
        assert_eq!(Cursor::parse(&Cursor(id).to_string()), Ok(Cursor(id)));
    }
    for text in [
        "",
        "1",
        "1000000000000000",
        "1800000000000000f",
        "2000000000000000f",
        "1+00000000000000f",
        "1000000000000000F",
    ] {
        assert_eq!(Cursor::parse(text), Err(Refusal::Cursor), "{text:?}");
    }
}

#[test]
fn limits_have_bounds() {
    assert_eq!(Limit::parse("1"), Ok(Limit(1)));
    assert_eq!(Limit::parse("100"), Ok(Limit(100)));
    for text in ["", "0", "101", "-1", "+1", "1.5", "ten", "99999999999999999999"] {
        assert_eq!(Limit::parse(text), Err(Refusal::Limit), "{text:?}");
    }
}

#[test]
fn keys_are_visible_and_not_too_long() {
    assert!(IdempotencyKey::parse(&"k".repeat(128)).is_ok());
    for text in ["", "a b", "ключ", "a\u{7f}", &"k".repeat(129)] {
        assert_eq!(IdempotencyKey::parse(text), Err(Refusal::Key), "{text:?}");
    }
}
