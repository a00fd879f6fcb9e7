//! The tables that an importer of other tools' recordings writes into `import/`.

mod quarantine;

pub use quarantine::{QuarantineReason, QuarantineRow};
