//! Policy files: what is accepted is written, and means the same when it is read again.

#![no_main]

use flowtape::parse::kubernetes::parse;
use flowtape::render::kubernetes::manifests;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(read) = parse([("file", text)]) else {
        return;
    };
    let Ok(written) = manifests(&read.set) else {
        return;
    };
    let again = parse([("file", written.as_str())]).unwrap_or_else(|problems| panic!("{problems}\n{written}"));
    let rewritten = manifests(&again.set).unwrap_or_else(|error| panic!("{error}\n{written}"));
    assert_eq!(written, rewritten);
});
