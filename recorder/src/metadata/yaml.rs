//! What `kubectl get -o yaml` prints, as the JSON that it stands for: one document or several.

use serde::Deserialize as _;
use serde_json::Value;

/// Why a text is no YAML.
#[derive(Debug, thiserror::Error)]
#[error("neither JSON nor YAML: {0}; expected what `kubectl get ... -A -o json` or `-o yaml` prints")]
pub struct YamlError(#[from] serde_yaml::Error);

/// The documents of a text; empty ones, as behind a last `---`, are left out.
pub(super) fn documents(text: &[u8]) -> Result<Vec<Value>, YamlError> {
    let mut documents = Vec::new();
    for document in serde_yaml::Deserializer::from_slice(text) {
        let document = Value::deserialize(document)?;
        if !document.is_null() {
            documents.push(document);
        }
    }
    Ok(documents)
}

#[cfg(test)]
mod tests {
    use super::documents;
    use serde_json::json;

    #[test]
    fn documents_are_told_apart_and_empty_ones_left_out() {
        let text = b"---\na: {b: \"on\"}\n---\n# nothing\n---\nc: [1, null]\n";
        assert_eq!(
            documents(text).unwrap(),
            [json!({"a": {"b": "on"}}), json!({"c": [1, null]})]
        );
    }

    #[test]
    fn what_is_no_yaml_or_grows_beyond_reason_is_an_error() {
        assert!(documents(b"a: [1").is_err());
        assert!(documents(&[0xff, 0xfe, 0x00]).is_err());
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let before = format!("*a{}", level - 1);
            let level = format!("a{level}: &a{level} [{}]\n", [before.as_str(); 10].join(", "));
            bomb.push_str(&level);
        }
        assert!(documents(bomb.as_bytes()).is_err());
    }
}
