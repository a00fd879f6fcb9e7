//! The exit codes of `flowtape diff`.

use crate::Lab;

const BASE: &str = "shop/web -> pod shop/api:8080/TCP at 1s\n";

fn lab() -> Lab {
    let lab = Lab::new();
    lab.traffic("base", BASE);
    lab.traffic("more", &format!("{BASE}ops/job -> pod shop/api:8080/TCP at 1s"));
    lab.traffic("wide", &format!("{BASE}shop/web -> pod shop/api:8081/TCP at 1s"));
    lab.traffic("vague", &format!("{BASE}address 10.244.1.77 -> shop/web:80/TCP at 6s"));
    let killed = crate::CLUSTER.replace("pods 10.244.2.0/24", "pods 10.244.2.0/24 unclean");
    lab.tape("killed", &format!("{killed}{BASE}"));
    lab
}

#[test]
fn each_class_ends_with_1_if_it_was_asked_for() {
    let lab = lab();
    for (sides, class) in [
        ("base more", "added"),
        ("more base", "removed"),
        ("base wide", "widened"),
        ("wide base", "narrowed"),
    ] {
        for asked in ["added", "removed", "widened", "narrowed", "any", "none"] {
            let expected = i32::from(asked == class || asked == "any");
            let run = lab.run(&format!("diff {sides} --fail-on {asked}"));
            assert_eq!(run.code, expected, "{sides} --fail-on {asked}: {}", run.stdout);
        }
        assert_eq!(lab.run(&format!("diff {sides}")).code, 1, "{sides}");
        assert_eq!(
            lab.run(&format!("diff {sides} --fail-on added,removed,widened,narrowed"))
                .code,
            1
        );
    }
    assert_eq!(lab.run("diff base base").code, 0);
    assert_eq!(lab.run("diff more wide --fail-on removed,narrowed").code, 1);
    assert_eq!(lab.run("diff more wide --fail-on narrowed").code, 0);
}

#[test]
fn what_cannot_be_decided_is_any_difference() {
    let lab = lab();
    assert_eq!(lab.run("diff base vague").code, 1);
    assert_eq!(lab.run("diff base vague --allow-incomplete").code, 1);
    assert_eq!(lab.run("diff base vague --fail-on added --allow-incomplete").code, 0);
    assert_eq!(lab.run("diff base vague --fail-on none").code, 0);
}

#[test]
fn a_doubtful_side_never_ends_with_0_and_says_so() {
    let lab = lab();
    let note = |run: &crate::Run| run.stderr.lines().last().unwrap_or_default().to_owned();
    for (sides, why) in [
        ("base killed", "side `after` is incomplete"),
        ("killed base", "side `before` is incomplete"),
        ("killed killed", "side `before` is incomplete"),
        ("vague vague", "side `before` has peers that it cannot identify"),
    ] {
        for asked in ["removed", "added", "any"] {
            let run = lab.run(&format!("diff {sides} --fail-on {asked}"));
            assert_eq!(run.code, 1, "{sides}: {}{}", run.stdout, run.stderr);
            assert_eq!(
                note(&run),
                format!(
                    "note: exit code 1, because {why}, so that no change proves nothing; `--allow-incomplete` takes it as it is"
                )
            );
        }
        assert_eq!(lab.run(&format!("diff {sides} --allow-incomplete")).code, 0, "{sides}");
        assert_eq!(lab.run(&format!("diff {sides} --fail-on none")).code, 0, "{sides}");
    }
}

#[test]
fn strict_asks_for_more_than_differences() {
    let lab = lab();
    assert_eq!(lab.run("diff base base --strict").code, 0);
    assert_eq!(lab.run("diff vague vague --allow-incomplete --strict").code, 1);
}

#[test]
fn none_stands_alone() {
    lab().run("diff base more --fail-on none,added").is(
        2,
        "",
        "error: `--fail-on none` cannot stand beside other classes\n",
    );
}
