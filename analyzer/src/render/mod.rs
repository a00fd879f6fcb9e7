//! Values to bytes.
//!
//! Place in the data flow: the last stage. Rendering never adds or drops a rule; reading back what was rendered gives
//! the same policy set. YAML knows policies only, CSV and Parquet tables only, text
//! shows any result to people; Markdown, SARIF and JUnit write what there is to review.

pub mod annotation;
pub mod connectivity;
pub mod csv;
pub mod junit;
pub mod kind;
pub mod kubernetes;
pub mod markdown;
pub mod parquet;
pub mod review;
pub mod sarif;
pub mod text;
pub mod yaml;
