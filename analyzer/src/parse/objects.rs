//! What `kubectl get -o json` or `-o yaml` prints, as values: one document or several.

use serde::Deserialize as _;
use serde_json::Value;

/// Why a text holds no values.
#[derive(Debug, thiserror::Error)]
pub enum ObjectsError {
    /// It begins as JSON does.
    #[error("it begins as JSON and goes on otherwise: {0}; expected what `kubectl get ... -A -o json` prints")]
    Json(#[from] serde_json::Error),
    /// Anything else.
    #[error("neither JSON nor YAML: {0}; expected what `kubectl get ... -A -o json` or `-o yaml` prints")]
    Yaml(#[from] serde_yaml::Error),
}

/// The documents of a text; empty ones are left out. What begins as JSON is read as that, because a dump of a cluster is large
/// and YAML is slow to read.
pub fn values(text: &[u8]) -> Result<Vec<Value>, ObjectsError> {
    if matches!(text.trim_ascii_start().first(), Some(b'{' | b'[')) {
        let documents = serde_json::Deserializer::from_slice(text).into_iter();
        return Ok(documents.collect::<Result<_, _>>()?);
    }
    let mut documents = Vec::new();
    for document in serde_yaml::Deserializer::from_slice(text) {
        let document = Value::deserialize(document)?;
        if !document.is_null() {
            documents.push(document);
        }
    }
    Ok(documents)
}
