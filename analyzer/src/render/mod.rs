//! Values to bytes.
//!
//! Place in the data flow: the last stage. Rendering never adds or drops a rule; reading back what was rendered gives
//! the same policy set. YAML knows policies only, CSV and Parquet tables only, text
//! shows any result to people.

pub mod annotation;
pub mod csv;
pub mod kind;
pub mod kubernetes;
pub mod parquet;
pub mod text;
pub mod yaml;
