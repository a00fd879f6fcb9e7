//! Tables for spreadsheets: one line for each row below the names of the columns, RFC 4180.

use csv::{Terminator, WriterBuilder};

use crate::escape::escaped;
use crate::frame::{Cell, Frame};

/// The whole text; null is an empty cell.
#[must_use]
pub fn text(frame: &Frame) -> String {
    let mut writer = WriterBuilder::new()
        .terminator(Terminator::Any(b'\n'))
        .from_writer(Vec::new());
    let names = frame.columns.iter().map(|column| harmless(&column.name)).collect();
    let row = |row| frame.columns.iter().map(|column| cell(column.cells.get(row))).collect();
    let rows = std::iter::once(names).chain((0..frame.height()).map(row));
    for cells in rows {
        let cells: Vec<String> = cells;
        writer
            .write_record(&cells)
            .expect("every row has the columns of the head, and memory takes them");
    }
    let bytes = writer.into_inner().expect("memory takes what is left");
    String::from_utf8(bytes).expect("texts stay texts between quotes and commas")
}

/// One cell of a line that is put together elsewhere: what does nothing but stand there, between quotes where it has to.
#[must_use]
pub fn cell_text(text: &str) -> String {
    let cell = harmless(text);
    if cell.contains([',', '"']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell
    }
}

fn cell(cell: Option<Cell<'_>>) -> String {
    match cell {
        None => String::new(),
        Some(Cell::Text(text)) => harmless(text),
        // A number that begins with a minus is meant to be computed with.
        Some(number @ (Cell::Integer(_) | Cell::Number(_) | Cell::Boolean(_) | Cell::Time(_))) => number.to_string(),
    }
}

/// A cell that does nothing but stand there: spreadsheets compute what begins with one of these characters, even between
/// quotes, unless an apostrophe is before it.
fn harmless(cell: &str) -> String {
    let cell = escaped(cell);
    if cell.starts_with(['=', '+', '-', '@']) {
        format!("'{cell}")
    } else {
        cell
    }
}

#[cfg(test)]
mod tests {
    use super::{harmless, text};
    use crate::frame;
    use crate::json::edge::{Edge, Service};
    use crate::json::peer::{Peer, PeerIdentity};
    use flowtape_schemas::time::Time;

    fn edge(name: &str) -> Edge {
        let workload = PeerIdentity::Workload {
            namespace: "shop".to_owned(),
            kind: "Deployment".to_owned(),
            name: name.to_owned(),
            host_network: false,
        };
        let outside = PeerIdentity::External {
            cidr: "203.0.113.7/32".to_owned(),
            except: Vec::new(),
            names: Vec::new(),
        };
        let service = |port| Service {
            namespace: "shop".to_owned(),
            name: "api".to_owned(),
            port,
        };
        Edge {
            id: "0facac9585ad53f0".to_owned(),
            from: Peer {
                identity: outside,
                role: Some("ingress"),
            },
            to: Peer {
                identity: workload,
                role: None,
            },
            protocol: "TCP".to_owned(),
            port: 8080,
            port_name: None,
            service: None,
            services: vec![service(80), service(443)],
            services_assumed: Vec::new(),
            node_ports: vec![30080],
            translated: vec!["snat"],
            outcome: "established",
            count: 3,
            first_seen: Time(0),
            last_seen: Time(1),
            seen_by: vec!["client", "server"],
            predates_window: false,
            assumed: true,
        }
    }

    #[test]
    fn an_edge_is_a_line() {
        let text = text(&frame::edges::frame(&[edge("web")]));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "id,from_type,from_namespace,from_kind,from_name,from_role,to_type,to_namespace,to_kind,to_name,to_role,protocol,\
                 port,port_name,services,outcome,count,first_seen,last_seen,seen_by,predates_window,assumed,node_ports,translated",
                "0facac9585ad53f0,external,,,203.0.113.7/32,ingress,workload,shop,Deployment,web,,TCP,8080,,\
                 shop/api:80 shop/api:443,established,3,1970-01-01T00:00:00.000000000Z,1970-01-01T00:00:00.000000001Z,\
                 client server,false,true,30080,snat"
            ]
        );
    }

    #[test]
    fn a_hostile_name_is_a_text() {
        let text = text(&frame::edges::frame(&[edge("=cmd|' /C calc'!A1,\"\n@x")]));
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains(r#","'=cmd|' /C calc'!A1,""\n@x","#), "{text}");
        for (cell, stands) in [
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@a", "'@a"),
            ("a=1", "a=1"),
            ("\t=1", "\\t=1"),
        ] {
            assert_eq!(harmless(cell), stands);
        }
    }
}
