//! Values to bytes.
//!
//! Place in the data flow: the last stage. Rendering never adds or drops a rule; reading back what was rendered gives
//! the same policy set. Knows policies only.

pub mod kubernetes;
pub mod yaml;
