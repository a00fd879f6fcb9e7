//! Runs that end before there is anything to collect.

use flowtape_apiserver::fault::Effect;
use serde_json::json;

use crate::stage::Stage;

fn refused() -> Effect {
    Effect::Refuse {
        code: 403,
        retry_after: None,
    }
}

pub(crate) fn ctrl_c_before_the_window_leaves_nothing() {
    let stage = Stage::new();
    stage.node("n2", "waiting");
    let mut plugin = stage.record(&["--duration", "1h"]);
    plugin.wait_for("node n1: records");
    plugin.interrupt();
    let (code, said) = plugin.end();
    assert_eq!(code, Some(130), "{said}");
    assert!(!stage.tape().exists());
    stage.assert_nothing_is_left();
}

pub(crate) fn a_second_ctrl_c_says_what_is_left() {
    let stage = Stage::new();
    stage.server.fault("exec", "pods", None, Effect::Hang).unwrap();
    let mut plugin = stage.record(&["--duration", "1h"]);
    plugin.wait_for("recording on 2 nodes");
    // Nothing can be removed any more, so the first leads nowhere.
    stage.server.fault("delete", "*", None, Effect::Hang).unwrap();
    plugin.interrupt();
    std::thread::sleep(std::time::Duration::from_millis(300));
    plugin.interrupt();
    let (code, said) = plugin.end();
    assert_eq!(code, Some(130), "{said}");
    let remedy = said
        .lines()
        .find_map(|line| line.trim().strip_prefix("kubectl flowtape remove --run "));
    let run = remedy.unwrap_or_else(|| panic!("{said}"));
    assert!(!stage.leftovers().is_empty());

    stage.server.tell("mend").unwrap();
    let (code, said) = stage.start(&["remove", "--run", run]).end();
    assert_eq!(code, Some(0), "{said}");
    stage.assert_nothing_is_left();
}

pub(crate) fn without_permission_nothing_is_created() {
    let stage = Stage::new();
    stage.server.fault("create", "clusterroles", None, refused()).unwrap();
    let (code, said) = stage.record(&["--duration", "1s"]).end();
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("you may not create clusterroles; nothing was created"),
        "{said}"
    );
    stage.assert_nothing_is_left();
    let requests = stage.server.tell("requests").unwrap();
    let all = requests.as_array().unwrap();
    let changing = all.iter().filter(|seen| {
        seen["verb"] != "get" && seen["verb"] != "list" && seen["resource"] != "selfsubjectaccessreviews"
    });
    assert_eq!(changing.count(), 0, "{requests}");
}

pub(crate) fn a_foreign_namespace_is_left_alone() {
    let stage = Stage::new();
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "flowtape"}});
    stage.server.apply(&[namespace]).unwrap();
    let (code, said) = stage.record(&["--duration", "1s"]).end();
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("name another one with --namespace"), "{said}");
    assert_eq!(stage.leftovers(), [r#""Namespace" "flowtape""#]);
    let (code, said) = stage.record(&["--duration", "1s", "--namespace", "other"]).end();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(stage.leftovers(), [r#""Namespace" "flowtape""#]);
}

pub(crate) fn an_error_in_the_middle_leaves_nothing() {
    let stage = Stage::new();
    let broken = Effect::Refuse {
        code: 500,
        retry_after: None,
    };
    // Asked whether it may, the server says yes; asked to do it, no.
    let mut plugin = stage.record(&["--duration", "1s"]);
    plugin.wait_for("in namespace flowtape");
    stage.server.fault("get", "daemonsets", None, broken).unwrap();
    let (code, said) = plugin.end();
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("cannot look at DaemonSet"), "{said}");
    stage.assert_nothing_is_left();
}

pub(crate) fn when_no_node_records_it_says_why() {
    let stage = Stage::new();
    stage.node("n1", "crash: error: this kernel has no BTF");
    stage.node("n2", "image");
    let (code, said) = stage.record(&["--duration", "1s"]).end();
    assert_eq!(code, Some(2), "{said}");
    for part in [
        "no node records",
        "node n1: error: this kernel has no BTF",
        "node n2: ImagePullBackOff",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!stage.tape().exists());
    stage.assert_nothing_is_left();
}
