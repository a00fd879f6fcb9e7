//! Where the file system, sockets and heavy libraries may be named: each is one module's business, so that it can be
//! replaced, and so that what could bring disorder into output stands in one place.

use crate::rust::{references, tokens};
use crate::tree::{File, project};
use crate::{assert_accepted, assert_refused, assert_tidy};

/// What is fenced, in which sources, and where it may stand all the same.
struct Fence {
    what: &'static str,
    within: &'static str,
    only: &'static [&'static str],
}

const FENCES: &[Fence] = &[
    Fence {
        what: "serde_yaml",
        within: "",
        only: &[
            "analyzer/src/parse/",
            "analyzer/src/render/yaml.rs",
            "analyzer/tests/policy_properties/yaml.rs",
            "recorder/lab/tests/live_cluster/enforce.rs",
            "recorder/src/metadata/yaml.rs",
            "testdata/src/parse/",
        ],
    },
    Fence {
        what: "toml",
        within: "",
        only: &[
            "analyzer/src/cli/verb/generate/config.rs",
            "analyzer/src/cli/verb/generate/lock.rs",
            "analyzer/src/baseline.rs",
        ],
    },
    Fence {
        what: "saphyr_parser",
        within: "",
        only: &["analyzer/src/parse/"],
    },
    Fence {
        what: "k8s_openapi",
        within: "",
        only: &[
            "analyzer/src/parse/cluster_policy/",
            "analyzer/src/parse/dialect/",
            "analyzer/src/parse/network_policy/",
            "analyzer/src/render/kubernetes",
            "recorder/src/plugin/",
        ],
    },
    Fence {
        what: "arrow",
        within: "analyzer/src/",
        only: &["analyzer/src/frame/rows.rs", "analyzer/src/render/parquet.rs"],
    },
    Fence {
        what: "polars",
        within: "",
        only: &["analyzer/src/query/"],
    },
    Fence {
        what: "rayon",
        within: "",
        only: &[
            "analyzer/src/tape/",
            "analyzer/src/import/mod.rs",
            "analyzer/src/enforcer.rs",
            "analyzer/src/sorted.rs",
            "analyzer/src/identity/clock.rs",
            "analyzer/src/identity/resolve.rs",
            "analyzer/src/flow/collect.rs",
            "analyzer/src/flow/join/",
            "analyzer/src/flow/sighting.rs",
            "analyzer/src/parse/kubernetes.rs",
            "analyzer/src/semantics/index.rs",
            "analyzer/src/semantics/reach.rs",
            "analyzer/src/replay/proof.rs",
            "analyzer/src/synthesis/ends.rs",
            "analyzer/src/synthesis/finish.rs",
            "analyzer/src/synthesis/selectors.rs",
            "analyzer/src/cli/directory.rs",
            "analyzer/src/diff/policies.rs",
            "analyzer/src/cli/manifests.rs",
            "analyzer/src/cli/verb/generate.rs",
            "analyzer/src/cli/verb/generate/lock.rs",
            "analyzer/src/cli/verb/connectivity.rs",
            "analyzer/src/json.rs",
            "analyzer/src/json/evidence.rs",
        ],
    },
    Fence {
        what: "etherparse",
        within: "",
        only: &["analyzer/src/import/format/pcap"],
    },
    Fence {
        what: "pcap_file",
        within: "",
        only: &["analyzer/src/import/format/pcap"],
    },
    Fence {
        what: "flate2",
        within: "",
        only: &["analyzer/src/import/read.rs"],
    },
    Fence {
        what: "zstd",
        within: "",
        only: &["analyzer/src/import/read.rs"],
    },
    Fence {
        what: "kube",
        within: "",
        only: &["recorder/src/watch", "recorder/src/plugin"],
    },
    Fence {
        what: "axum",
        within: "",
        only: &["recorder/apiserver/src/"],
    },
    Fence {
        what: "tokio",
        within: "",
        only: &["recorder/apiserver/src/", "recorder/src/watch", "recorder/src/plugin"],
    },
    Fence {
        what: "aya",
        within: "",
        only: &["recorder/src/kernel"],
    },
    Fence {
        what: "aya_ebpf",
        within: "",
        only: &["recorder-ebpf/src/"],
    },
    Fence {
        what: "std::fs",
        within: "analyzer/src/",
        only: &["analyzer/src/tape/", "analyzer/src/cli/"],
    },
    Fence {
        what: "std::env",
        within: "analyzer/src/",
        only: &["analyzer/src/cli/", "analyzer/src/main.rs"],
    },
    Fence {
        what: "std::process::Command",
        within: "analyzer/src/",
        only: &[],
    },
    Fence {
        what: "std::net::TcpStream",
        within: "analyzer/src/",
        only: &[],
    },
    Fence {
        what: "std::net::TcpListener",
        within: "analyzer/src/",
        only: &[],
    },
    Fence {
        what: "std::net::UdpSocket",
        within: "analyzer/src/",
        only: &[],
    },
    Fence {
        what: "std::os",
        within: "analyzer/src/",
        only: &[],
    },
    Fence {
        what: "std::fs",
        within: "schemas/src/",
        only: &[],
    },
    Fence {
        what: "std::env",
        within: "schemas/src/",
        only: &[],
    },
    Fence {
        what: "std::process",
        within: "schemas/src/",
        only: &[],
    },
    Fence {
        what: "std::thread",
        within: "schemas/src/",
        only: &[],
    },
    Fence {
        what: "std::time::SystemTime",
        within: "schemas/src/",
        only: &[],
    },
    Fence {
        what: "std::time::Instant",
        within: "schemas/src/",
        only: &[],
    },
];

/// Names of fenced things outside their fence, in shipped sources.
fn fenced(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files
        .iter()
        .filter(|file| file.path.contains("/src/") && file.name() != "tests.rs")
    {
        let named = references(&tokens(file).unwrap_or_default());
        for Fence { what, within, only } in FENCES {
            if !file.path.starts_with(within) || only.iter().any(|place| file.path.starts_with(place)) {
                continue;
            }
            let fence: Vec<&str> = what.split("::").collect();
            for reference in named.iter().filter(|reference| {
                reference.parts.len() >= fence.len()
                    && reference.parts.iter().zip(&fence).all(|(part, want)| part == want)
            }) {
                let line = reference.line;
                let places = if only.is_empty() {
                    "nowhere here".to_owned()
                } else {
                    format!("only in {}", only.join(", "))
                };
                complaints.push(format!("{}:{line}: `{what}` may stand {places}", file.path));
            }
        }
    }
    complaints
}

#[test]
fn heavy_libraries_and_the_outside_world_stay_in_their_modules() {
    assert_tidy(&fenced(&project()));
}

#[test]
fn a_fenced_name_elsewhere_is_refused() {
    assert_refused(
        fenced,
        &[("analyzer/src/policy/model.rs", "use serde_yaml::Value;")],
        "`serde_yaml` may stand only in",
    );
    assert_refused(
        fenced,
        &[("analyzer/src/flow/edge.rs", "fn f() { rayon::join(a, b); }")],
        "`rayon`",
    );
    assert_refused(fenced, &[("recorder/src/writer.rs", "use aya::Ebpf;")], "`aya`");
    assert_refused(
        fenced,
        &[("recorder/src/record.rs", "use kube::Client;")],
        "`kube` may stand only in",
    );
    assert_refused(
        fenced,
        &[("analyzer/src/render/text.rs", "use std::{fs, io};")],
        "`std::fs`",
    );
    assert_refused(
        fenced,
        &[("schemas/src/parquet.rs", "let t = std::time::Instant::now();")],
        "nowhere here",
    );
    assert_refused(
        fenced,
        &[("analyzer/src/cli/run.rs", "use std::net::{IpAddr, TcpStream};")],
        "`std::net::TcpStream`",
    );
}

#[test]
fn a_fenced_name_in_its_place_is_accepted() {
    assert_accepted(
        fenced,
        &[(
            "analyzer/src/parse/network_policy/peers.rs",
            "use k8s_openapi::api; use serde_yaml::Value;",
        )],
    );
    assert_accepted(fenced, &[("recorder/src/kernel/load.rs", "use aya::Ebpf;")]);
    assert_accepted(fenced, &[("recorder/src/watch/follow.rs", "use kube::Client;")]);
    assert_accepted(
        fenced,
        &[("analyzer/tests/spec.rs", "use std::fs::read; use serde_yaml::Value;")],
    );
    assert_accepted(fenced, &[("analyzer/src/policy/cidr.rs", "use std::net::IpAddr;")]);
}
