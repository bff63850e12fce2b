//! Raises events of older shapes to the present one: pure, `Value → Value`, a step per (category, kind, schema).
//!
//! A released fixture of every shape is never deleted; golden histories replay through these steps in the tests.

use serde_json::Value;

use crate::types::Category;

/// Is one step from a shape to the next.
struct Upcaster {
    category: Category,
    kind: &'static str,
    from: u16,
    step: fn(Value) -> Value,
}

/// Lists every step there is, in any order. Empty until the first released shape changes.
const UPCASTERS: &[Upcaster] = &[];

/// Returns the newest shape of that kind.
pub fn current_schema(category: Category, kind: &str) -> u16 {
    let steps = UPCASTERS.iter().filter(|known| known.category == category && known.kind == kind);
    steps.map(|known| known.from + 1).max().unwrap_or(1)
}

/// Raises a body from `schema` to the newest shape.
pub fn raise(category: Category, kind: &str, schema: u16, body: Value) -> Value {
    let mut raised = body;
    for from in schema..current_schema(category, kind) {
        let step =
            UPCASTERS.iter().find(|known| known.category == category && known.kind == kind && known.from == from);
        if let Some(known) = step {
            raised = (known.step)(raised);
        }
    }
    raised
}
