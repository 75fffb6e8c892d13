//! The operations as `operations.txt` has them.

use super::notation::{Type, fields};

/// An operation.
#[derive(Clone, Debug)]
pub struct Operation {
    pub domain: String,
    pub method: String,
    pub path: String,
    pub who: Who,
    /// The caller, where not anybody will do.
    pub caller: Option<String>,
    pub status: u16,
    pub answer: Answer,
    /// Other ways to it: method and path.
    pub also: Vec<(String, String)>,
    /// Parts of paths: a name and what stands for it.
    pub parts: Vec<(String, String)>,
    pub query: Vec<(String, Type)>,
    pub bodies: Vec<Body>,
    pub needs: Vec<String>,
    /// The name of a report's downloaded file. A report's parameters are taken by POST with a JSON body too.
    pub file: Option<String>,
}

/// Who may call it.
#[derive(Clone, Debug, PartialEq)]
pub enum Who {
    Anyone,
    Customer,
    SignedIn,
    /// Administrators with this permission, such as `Users:read`.
    Permission(String),
}

/// What a success holds.
#[derive(Clone, Debug)]
pub enum Answer {
    Nothing,
    Json(Type),
    /// A list of rows with exactly these columns, or with more behind them.
    Rows(Vec<String>),
}

/// A form of the body, with values to be looked up.
#[derive(Clone, Debug)]
pub enum Body {
    Json(String),
    Form(String),
    Multipart(String),
    /// No body: a cookie.
    Cookie(String),
    /// No body: a bearer token other than the caller's.
    Bearer(String),
}

/// Reads the table. Gives the operations, and how many each domain says it has.
pub fn read(text: &str) -> (Vec<Operation>, Vec<(String, usize)>) {
    let (mut operations, mut domains): (Vec<Operation>, Vec<(String, usize)>) = (Vec::new(), Vec::new());
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
        if let Some(domain) = line.strip_prefix("== ") {
            let (name, count) = domain.split_once(' ').unwrap();
            domains.push((name.to_owned(), count.parse().unwrap()));
        } else if let Some(more) = line.strip_prefix("  ") {
            operations.last_mut().unwrap().add(more);
        } else {
            operations.push(Operation::new(&domains.last().unwrap().0, line));
        }
    }
    (operations, domains)
}

fn words(text: &str, by: &str) -> (String, String) {
    let (first, rest) = text.split_once(by).unwrap_or_else(|| panic!("{text} has no {by:?}"));
    (first.trim().to_owned(), rest.trim().to_owned())
}

impl Operation {
    fn new(domain: &str, line: &str) -> Self {
        let [call, who, answer] = line.split(" | ").collect::<Vec<_>>().try_into().unwrap();
        let (method, path) = words(call, " ");
        let (status, answer) = words(answer, " ");
        Self {
            domain: domain.to_owned(),
            method,
            path,
            who: match who {
                "anyone" => Who::Anyone,
                "customer" => Who::Customer,
                "signed-in" => Who::SignedIn,
                permission => Who::Permission(permission.to_owned()),
            },
            caller: None,
            status: status.parse().unwrap(),
            answer: match (answer.as_str(), answer.strip_prefix("rows ")) {
                ("nothing", _) => Answer::Nothing,
                (_, Some(columns)) => Answer::Rows(columns.split(", ").map(str::to_owned).collect()),
                (kind, None) => Answer::Json(Type::read(kind)),
            },
            also: Vec::new(),
            parts: Vec::new(),
            query: Vec::new(),
            bodies: Vec::new(),
            needs: Vec::new(),
            file: None,
        }
    }

    fn add(&mut self, line: &str) {
        let (key, rest) = words(line, " ");
        match key.as_str() {
            "also" => self.also.push(words(&rest, " ")),
            "as" => self.caller = Some(rest),
            "with" => self.parts.push(words(&rest, " = ")),
            "query" | "report" => self.query.extend(fields(&rest)),
            "json" => self.bodies.push(Body::Json(rest)),
            "form" => self.bodies.push(Body::Form(rest)),
            "multipart" => self.bodies.push(Body::Multipart(rest)),
            "cookie" => self.bodies.push(Body::Cookie(rest)),
            "bearer" => self.bodies.push(Body::Bearer(rest)),
            "needs" => self.needs.extend(rest.split(", ").map(str::to_owned)),
            "file" => self.file = Some(rest),
            _ => panic!("the table has no {key}"),
        }
    }

    /// Every way to it: at the root and under `/v1`.
    pub fn ways(&self) -> Vec<(String, String)> {
        let own = (self.method.clone(), self.path.clone());
        let all = std::iter::once(own).chain(self.also.iter().cloned());
        all.flat_map(|(method, path)| {
            let versioned = format!("/v1{path}");
            [(method.clone(), path), (method, versioned)]
        })
        .collect()
    }

    /// The JSON form that has every field.
    pub fn full_json(&self) -> Option<&String> {
        self.bodies.iter().rev().find_map(|body| match body {
            Body::Json(text) if self.needs.iter().all(|field| text.contains(&format!("\"{field}\""))) => {
                Some(text)
            }
            _ => None,
        })
    }
}
