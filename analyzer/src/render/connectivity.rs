//! What a policy set allows as lines that are made in pieces: there can be millions, and few of their pieces differ.

use super::csv;
use super::text::connectivity as text;
use crate::json::connectivity::{self as json, End};
use crate::json::peer::Peer;
use crate::policy::ports::Protocol;
use crate::replay::connectivity::Allowed;
use crate::replay::party::Party;
use crate::semantics::bits::Bits;

/// How the lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Text,
    /// For programs.
    Json,
    /// For spreadsheets.
    Csv,
}

/// The first line of a form that has one.
#[must_use]
pub const fn head(form: Form) -> &'static str {
    match form {
        Form::Text | Form::Json => "",
        Form::Csv => {
            "from_type,from_namespace,from_kind,from_name,to_type,to_namespace,to_kind,to_name,protocol,ports,partly\n"
        }
    }
}

/// The ends of connections in one form: parties in their order, and after them classes of several.
pub struct Lines {
    form: Form,
    from: Vec<String>,
    to: Vec<String>,
}

impl Lines {
    /// The pieces for these parties, and for as many classes of them.
    pub fn new(form: Form, parties: &[Party], classes: usize) -> Result<Self, serde_json::Error> {
        let ids = (0..classes).map(class_id);
        let (from, to) = match form {
            Form::Text => text::ends(parties.iter().map(text::name).chain(ids).collect()),
            Form::Csv => {
                let ends = parties.iter().map(csv_end);
                let ends: Vec<String> = ends.chain(ids.map(|id| format!("class,,,{id},"))).collect();
                (ends.clone(), ends)
            }
            Form::Json => {
                let ends = parties.iter().map(|party| End::Peer(Peer::from(party)));
                let ends: Vec<End> = ends.chain(ids.map(End::class)).collect();
                let from = ends.iter().map(json::from).collect::<Result<_, _>>()?;
                (from, ends.iter().map(json::to).collect::<Result<_, _>>()?)
            }
        };
        Ok(Self { form, from, to })
    }

    /// The lines of one end: what may be sent to whom, in the order of those who get it.
    #[must_use]
    pub fn of<'s>(&self, from: usize, sent: impl IntoIterator<Item = (&'s Allowed, &'s Bits)>) -> String {
        let mut rests: Vec<Vec<String>> = vec![Vec::new()];
        // By destination, the place of what it gets. Nobody gets two different things.
        let mut of = vec![0; self.to.len()];
        for (allowed, to) in sent {
            for to in to.iter() {
                of[to] = rests.len();
            }
            rests.push(self.rests(allowed));
        }
        let mut lines = String::new();
        for (to, rest) in self.to.iter().zip(of) {
            for rest in &rests[rest] {
                lines.push_str(&self.from[from]);
                lines.push_str(to);
                lines.push_str(rest);
            }
        }
        lines
    }

    fn rests(&self, allowed: &Allowed) -> Vec<String> {
        match self.form {
            Form::Text => vec![text::rest(allowed)],
            Form::Json => json::rests(allowed),
            Form::Csv => {
                let protocols = Protocol::ALL.into_iter();
                let some = protocols.filter(|&protocol| !allowed.traffic.ports(protocol).is_empty());
                some.map(|protocol| {
                    let ports = csv::cell_text(&allowed.traffic.ports(protocol).to_string());
                    format!("{protocol},{ports},{}\n", allowed.partly)
                })
                .collect()
            }
        }
    }
}

/// What connections call a class.
#[must_use]
pub fn class_id(class: usize) -> String {
    format!("class-{}", class + 1)
}

fn csv_end(party: &Party) -> String {
    let cells = match party {
        Party::Workload(workload) => [
            "workload".to_owned(),
            workload.namespace.clone(),
            workload.kind.clone(),
            workload.name.clone(),
        ],
        Party::Pods { namespace, labels: _ } => {
            let name = party.to_string();
            let name = name.strip_prefix(&format!("{namespace}/")).unwrap_or(&name);
            ["pods".to_owned(), namespace.clone(), String::new(), name.to_owned()]
        }
        Party::Addresses(_) => ["external".to_owned(), String::new(), String::new(), party.to_string()],
    };
    let cells = cells.iter().map(|cell| format!("{},", csv::cell_text(cell)));
    cells.collect()
}
