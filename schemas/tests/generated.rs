//! `SCHEMA.md` says what the declarations say.

use std::path::Path;

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a test is asked by `make bless` to rewrite what it compares with"
)]
fn schema_md_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("SCHEMA.md");
    let expected = flowtape_schemas::reference::markdown();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, expected, "SCHEMA.md is stale; `make bless` writes it anew");
}
