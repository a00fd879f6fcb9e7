//! Peers and ports of rules in a few words, for messages.

use std::fmt;

use super::cidr::Cidr;
use super::model::{Entity, Peer, PortMatch, PortRule};
use super::one_or_more::OneOrMore;
use super::select::{Requirement, Selector, Test};

impl fmt::Display for PortRule {
    /// As `53/TCP`, `8000-8010/TCP`, `http/TCP` or `any/TCP`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = self.protocol;
        match &self.port {
            PortMatch::Any => write!(f, "any/{protocol}"),
            PortMatch::Range(range) => write!(f, "{range}/{protocol}"),
            PortMatch::Named(name) => write!(f, "{name}/{protocol}"),
        }
    }
}

impl fmt::Display for Peer {
    /// As `pods app=web`, `pods app=web of namespaces team=a`, `192.0.2.0/24 except 192.0.2.1/32`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pods { namespaces: None, pods } => write!(f, "pods {pods}"),
            Self::Pods {
                namespaces: Some(namespaces),
                pods,
            } => write!(f, "pods {pods} of namespaces {namespaces}"),
            Self::Block { cidr, except } => block(f, *cidr, except),
            Self::Entity(entity) => entity.fmt(f),
        }
    }
}

impl fmt::Display for Entity {
    /// As `nodes`, `the API server`, `192.0.2.0/24 outside the cluster`, `name pay.example.com`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nodes => f.write_str("nodes"),
            Self::ApiServer => f.write_str("the API server"),
            Self::Outside { cidr, except } => {
                block(f, *cidr, except)?;
                f.write_str(" outside the cluster")
            }
            Self::Name(name) => write!(f, "name {name}"),
        }
    }
}

fn block(f: &mut fmt::Formatter<'_>, cidr: Cidr, except: &[Cidr]) -> fmt::Result {
    write!(f, "{cidr}")?;
    for (index, hole) in except.iter().enumerate() {
        let before = if index == 0 { " except " } else { "," };
        write!(f, "{before}{hole}")?;
    }
    Ok(())
}

impl fmt::Display for Selector {
    /// As `kubectl --selector` takes it: `app=web,tier in (a,b),!old`; the selector of everything is `*`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_everything() {
            return f.write_str("*");
        }
        for (index, requirement) in self.requirements().iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{requirement}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, test } = self;
        let listed = |values: &OneOrMore<String>| values.iter().map(String::as_str).collect::<Vec<_>>().join(",");
        match test {
            Test::In(values) => match values.only() {
                Some(value) => write!(f, "{key}={value}"),
                None => write!(f, "{key} in ({})", listed(values)),
            },
            Test::NotIn(values) => write!(f, "{key} notin ({})", listed(values)),
            Test::Exists => write!(f, "{key}"),
            Test::DoesNotExist => write!(f, "!{key}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::model::Peer;
    use crate::policy::one_or_more::OneOrMore;
    use crate::policy::select::{Requirement, Selector, Test};

    #[test]
    fn a_peer_is_said_as_people_select_it() {
        let values = OneOrMore::new(["a".to_owned(), "b".to_owned()]).expect("two");
        let requirement = |key: &str, test| Requirement {
            key: key.to_owned(),
            test,
        };
        let pods = Selector::new([
            Requirement::equals("app", "web"),
            requirement("old", Test::DoesNotExist),
            requirement("tier", Test::In(values)),
        ]);
        let namespaces = Selector::from_labels([("team", "x")]);
        assert_eq!(
            Peer::pods_in(namespaces, pods).to_string(),
            "pods app=web,!old,tier in (a,b) of namespaces team=x"
        );
        assert_eq!(Peer::pods(Selector::everything()).to_string(), "pods *");
        let hole = "192.0.2.1/32".parse().expect("a prefix");
        let block = Peer::block_except("192.0.2.0/24".parse().expect("a prefix"), [hole]).expect("inside");
        assert_eq!(block.to_string(), "192.0.2.0/24 except 192.0.2.1/32");
    }
}
