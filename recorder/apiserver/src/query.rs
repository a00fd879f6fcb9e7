//! The parameters of a request.

use crate::answer::Refusal;
use crate::selector::Selector;

/// What a query asks for, as far as this server knows it.
#[derive(Debug, Default)]
pub(crate) struct Query {
    pub(crate) watch: bool,
    pub(crate) bookmarks: bool,
    pub(crate) resource_version: String,
    pub(crate) version_match: String,
    pub(crate) limit: usize,
    pub(crate) next: String,
    pub(crate) timeout_seconds: Option<u64>,
    pub(crate) selector: Selector,
    pub(crate) field_manager: String,
    pub(crate) dry_run: bool,
    /// Program and arguments of an `exec`.
    pub(crate) command: Vec<String>,
}

impl Query {
    /// Reads what stands behind the `?`.
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        let mut query = Self::default();
        let (mut labels, mut fields) = (String::new(), String::new());
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decoded(value);
            let number = || {
                let refused = |_| Refusal::new(400, format!("`{key}` is no number"));
                value.parse::<u64>().map_err(refused)
            };
            match key {
                "watch" => query.watch = is_true(&value),
                "allowWatchBookmarks" => query.bookmarks = is_true(&value),
                "resourceVersion" => query.resource_version = value,
                "resourceVersionMatch" => query.version_match = value,
                "limit" => query.limit = usize::try_from(number()?).unwrap_or(usize::MAX),
                "continue" => query.next = value,
                "timeoutSeconds" => query.timeout_seconds = Some(number()?),
                "labelSelector" => labels = value,
                "fieldSelector" => fields = value,
                "fieldManager" => query.field_manager = value,
                "dryRun" => query.dry_run = true,
                "command" => query.command.push(value),
                // What else a client asks for does not change what this server does.
                _ => {}
            }
        }
        query.selector = Selector::parse(&labels, &fields).map_err(|message| Refusal::new(400, message))?;
        Ok(query)
    }
}

fn is_true(value: &str) -> bool {
    matches!(value, "1" | "true")
}

/// Undoes percent-encoding.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let hexadecimal = |digits: [Option<u8>; 2]| {
            let text = String::from_utf8(digits.into_iter().flatten().collect()).ok()?;
            u8::from_str_radix(&text, 16).ok()
        };
        bytes.push(match byte {
            b'%' => hexadecimal([rest.next(), rest.next()]).unwrap_or(b'%'),
            b'+' => b' ',
            other => other,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::Query;

    #[test]
    fn parameters_are_decoded() {
        let query = Query::parse("watch=1&resourceVersion=7&fieldSelector=metadata.name%3Dweb&limit=5&other").unwrap();
        assert!(query.watch && !query.bookmarks);
        assert_eq!((query.resource_version.as_str(), query.limit), ("7", 5));
        assert!(
            query
                .selector
                .selects(&serde_json::json!({"metadata": {"name": "web"}}))
        );
        assert!(Query::parse("limit=x").is_err());
    }
}
