//! L5: one generic event-sourced shell, the registry, the effect runner, recovery: no rules here.
