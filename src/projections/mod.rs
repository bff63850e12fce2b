//! L4: read models as pure row folds, and `query`, the only read API.

pub mod rows;
