//! What `kubectl get -o json` or `-o yaml` prints, as values: one document or several.

use serde::Deserialize as _;
use serde_json::Value;

/// Why a text holds no values.
#[derive(Debug, thiserror::Error)]
#[error("neither JSON nor YAML: {0}; expected what `kubectl get ... -A -o json` or `-o yaml` prints")]
pub struct ObjectsError(#[from] serde_yaml::Error);

/// The documents of a YAML text, which JSON is, too; empty ones are left out.
pub fn documents(text: &[u8]) -> Result<Vec<Value>, ObjectsError> {
    let mut documents = Vec::new();
    for document in serde_yaml::Deserializer::from_slice(text) {
        let document = Value::deserialize(document)?;
        if !document.is_null() {
            documents.push(document);
        }
    }
    Ok(documents)
}
