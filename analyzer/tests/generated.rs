//! `QUERY.md` says what `flowtape schema query` prints.

use std::path::Path;

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a test is asked by `make bless` to rewrite what it compares with"
)]
fn query_md_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("QUERY.md");
    let expected = flowtape::frame::tables::reference().unwrap();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, expected, "QUERY.md is stale; `make bless` writes it anew");
}
