//! What this host can do (first the shape).

/// One feature.
#[derive(Debug)]
pub struct Feature {
    /// Its name.
    pub name: &'static str,
    /// Why it is missing.
    pub missing: Option<String>,
}

impl Feature {
    /// Tells whether it is there.
    pub fn is_there(&self) -> bool {
        self.missing.is_none()
    }
}

/// Probes everything.
pub fn probe() -> Vec<Feature> {
    Vec::new()
}
