//! Label and field selectors, as far as clients here use them: equality of labels, of names and of nodes.

use serde_json::Value;

/// The conditions of a query.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selector {
    /// JSON pointers and the text they must lead to.
    conditions: Vec<(String, String)>,
}

impl Selector {
    /// Reads `labelSelector` and `fieldSelector`; the error names what this server does not support.
    pub(crate) fn parse(labels: &str, fields: &str) -> Result<Self, String> {
        let mut conditions = Vec::new();
        for part in labels.split(',').filter(|part| !part.is_empty()) {
            let (key, value) = equality(part)?;
            let escaped = key.replace('~', "~0").replace('/', "~1");
            conditions.push((format!("/metadata/labels/{escaped}"), value));
        }
        for part in fields.split(',').filter(|part| !part.is_empty()) {
            let (key, value) = equality(part)?;
            conditions.push((format!("/{}", key.replace('.', "/")), value));
        }
        Ok(Self { conditions })
    }

    pub(crate) fn selects(&self, object: &Value) -> bool {
        let holds = |(pointer, wanted): &(String, String)| {
            object.pointer(pointer).and_then(Value::as_str).unwrap_or_default() == wanted
        };
        self.conditions.iter().all(holds)
    }
}

fn equality(part: &str) -> Result<(&str, String), String> {
    let (key, value) = part.split_once('=').unwrap_or((part, ""));
    if value.is_empty() || key.contains(['!', '(', ' ']) {
        return Err(format!("this server supports selectors of equality only, not `{part}`"));
    }
    Ok((key, value.trim_start_matches('=').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::Selector;
    use serde_json::json;

    #[test]
    fn equality_of_labels_and_fields() {
        let pod = json!({"metadata": {"name": "a", "labels": {"example.com/app": "web"}}, "spec": {"nodeName": "n1"}});
        for (labels, fields, wanted) in [
            ("", "", true),
            ("example.com/app=web", "spec.nodeName=n1", true),
            ("example.com/app==web", "metadata.name=b", false),
            ("other=x", "", false),
        ] {
            assert_eq!(
                Selector::parse(labels, fields).unwrap().selects(&pod),
                wanted,
                "{labels} {fields}"
            );
        }
        assert!(Selector::parse("app in (a)", "").is_err());
        assert!(Selector::parse("app!=a", "").is_err());
    }
}
