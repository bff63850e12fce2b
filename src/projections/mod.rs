//! L4: read models as pure row folds, and the only read API.
