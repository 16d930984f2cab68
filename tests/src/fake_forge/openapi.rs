//! GitHub's OpenAPI description: validates the requests that we send and the answers that the fake forge
//! gives.
//!
//! The description is OpenAPI 3.0, whose schemas are JSON Schema of an older draft with `nullable`.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use parking_lot::Mutex;
use serde_json::{Value, json};

/// The whole of it, with `nullable` said in the words of JSON Schema.
static DESCRIPTION: LazyLock<Value> = LazyLock::new(|| {
    let mut description: Value = serde_json::from_str(include_str!("../../testdata/github-openapi.json"))
        .expect("the copy of GitHub's description is JSON");
    say_null(&mut description);
    description
});

type Validators = HashMap<String, Option<Arc<jsonschema::Validator>>>;

/// Made when first needed: some of the schemas are large.
static VALIDATORS: LazyLock<Mutex<Validators>> = LazyLock::new(Mutex::default);

/// One operation: method and path as the description writes them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operation(pub(super) &'static str, pub(super) &'static str);

impl Operation {
    /// What is wrong with a request's body, and where.
    pub(super) fn request(self, body: &Value) -> Result<(), (String, String)> {
        self.check(&["requestBody"], body)
    }

    /// What is wrong with an answer of the fake forge.
    pub(super) fn reply(self, status: u16, body: &Value) -> Result<(), (String, String)> {
        self.check(&["responses", &status.to_string()], body)
    }

    fn check(self, part: &[&str], body: &Value) -> Result<(), (String, String)> {
        let Self(method, path) = self;
        let mut pointer = vec!["paths", path, method];
        pointer.extend(part.iter().chain(&["content", "application/json", "schema"]));
        let name = pointer.join(" ");
        let known = VALIDATORS.lock().get(&name).cloned();
        let validator = match known {
            Some(validator) => validator,
            None => {
                let schema = pointer.iter().try_fold(&*DESCRIPTION, |value, step| value.get(step));
                let validator = schema.map(|schema| Arc::new(validator(schema)));
                VALIDATORS.lock().insert(name, validator.clone());
                validator
            }
        };
        let Some(validator) = validator else { return Ok(()) };
        let wrong =
            |error: jsonschema::ValidationError<'_>| (error.instance_path().to_string(), error.to_string());
        validator.validate(body).map_err(wrong)
    }
}

/// Operations that our copy of the description leaves out.
const LEFT_OUT: [(&str, &str); 2] =
    [("get", "/app"), ("get", "/repos/{owner}/{repo}/commits/{ref}/check-runs")];

/// What is wrong with a request, if anything: its method and path must be an operation's, each field of its
/// query one of the operation's, and its body as described.
pub(super) fn wrong_with(method: &str, path: &str, query: Option<&str>, body: &Value) -> Option<String> {
    let method = method.to_lowercase();
    let left_out = LEFT_OUT.iter().any(|(of, template)| *of == method && literals(template, path).is_some());
    let paths = DESCRIPTION["paths"].as_object().expect("it has paths");
    let fitting = paths.iter().filter(|(_, item)| item.get(&method).is_some());
    let fitting = fitting.filter_map(|(template, item)| Some((literals(template, path)?, template, item)));
    let Some((_, template, item)) = fitting.max_by_key(|(literals, ..)| *literals) else {
        return (!left_out).then(|| format!("{method} {path}: there is no such operation"));
    };
    let operation = &item[&method];
    for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        let known = [&operation["parameters"], &item["parameters"]].into_iter().filter_map(Value::as_array);
        let found =
            known.flatten().map(resolved).find(|known| known["in"] == "query" && known["name"] == *name);
        let Some(parameter) = found else {
            return Some(format!("{method} {template}: the query has no {name}"));
        };
        let value = match parameter["schema"]["type"].as_str() {
            Some("integer") => value.parse::<i64>().map_or_else(|_| json!(value), |number| json!(number)),
            _ => json!(value),
        };
        if let Err(error) = validator(&parameter["schema"]).validate(&value) {
            return Some(format!("{method} {template}: {name}: {error}"));
        }
    }
    match operation.get("requestBody") {
        None if body.is_null() => None,
        None => Some(format!("{method} {template}: it takes no body")),
        Some(_) => {
            let schema = ["requestBody", "content", "application/json", "schema"];
            let schema = schema.iter().try_fold(operation, |value, step| value.get(step))?;
            let is_absent = body.is_null() && operation["requestBody"]["required"] != true;
            let error = (!is_absent).then(|| cached(template, &method, schema).validate(body).err());
            error.flatten().map(|error| format!("{method} {template}: {}: {error}", error.instance_path()))
        }
    }
}

/// How many parts of a path are as the template says, if all others may be anything.
fn literals(template: &str, path: &str) -> Option<usize> {
    let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    let fits = template.len() == path.len()
        && template.iter().zip(&path).all(|(wanted, is)| wanted.starts_with('{') || wanted == is);
    fits.then(|| template.iter().filter(|part| !part.starts_with('{')).count())
}

/// A parameter, where it is only pointed to.
fn resolved(parameter: &'static Value) -> &'static Value {
    let pointer = parameter["$ref"].as_str().and_then(|pointer| pointer.strip_prefix('#'));
    pointer.map_or(parameter, |pointer| DESCRIPTION.pointer(pointer).expect("it points into itself"))
}

/// The validator of a request's body, made once.
fn cached(template: &str, method: &str, schema: &Value) -> Arc<jsonschema::Validator> {
    let name = format!("request of {method} {template}");
    let known = VALIDATORS.lock().get(&name).cloned().flatten();
    known.unwrap_or_else(|| {
        let validator = Arc::new(validator(schema));
        VALIDATORS.lock().insert(name, Some(Arc::clone(&validator)));
        validator
    })
}

/// One of GitHub's own examples, to be filled with what a test knows.
pub(super) fn example(name: &str) -> Value {
    let example = DESCRIPTION["components"]["examples"][name]["value"].clone();
    assert!(!example.is_null(), "GitHub's description has no example {name}");
    example
}

fn validator(schema: &Value) -> jsonschema::Validator {
    let mut schema = schema.clone();
    schema["components"] = DESCRIPTION["components"].clone();
    let options = jsonschema::options().with_draft(jsonschema::Draft::Draft4);
    options.build(&schema).expect("GitHub's schema is one")
}

fn say_null(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.values_mut().for_each(say_null);
            if fields.get("nullable") != Some(&Value::Bool(true)) {
                return;
            }
            fields.remove("nullable");
            if let Some(Value::Array(allowed)) = fields.get_mut("enum") {
                allowed.push(Value::Null);
            }
            match fields.get("type").cloned() {
                Some(kind) => drop(fields.insert("type".to_owned(), json!([kind, "null"]))),
                None => {
                    let other = Value::Object(std::mem::take(fields));
                    fields.insert("anyOf".to_owned(), json!([other, { "type": "null" }]));
                }
            }
        }
        Value::Array(all) => all.iter_mut().for_each(say_null),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn githubs_description_knows_four_states() {
        let post = Operation("post", "/repos/{owner}/{repo}/statuses/{sha}");
        assert_eq!(post.request(&json!({ "state": "pending", "description": null })), Ok(()));
        assert!(post.request(&json!({ "state": "running" })).is_err());
        assert!(post.request(&json!({})).is_err());
    }

    #[test]
    fn a_completed_check_run_has_a_conclusion_that_github_knows() {
        let post = Operation("post", "/repos/{owner}/{repo}/check-runs");
        let run = |conclusion: &str| json!({ "name": "n", "head_sha": "s", "status": "completed", "conclusion": conclusion });
        assert_eq!(post.request(&run("success")), Ok(()));
        assert!(post.request(&run("fine")).is_err());
        assert!(post.reply(201, &example("check-run-example-of-completed-conclusion")).is_ok());
        assert!(post.reply(201, &json!({ "id": 1 })).is_err());
    }

    #[test]
    fn a_request_that_github_does_not_describe_is_found_out() {
        let wrong = |method, path, query| wrong_with(method, path, query, &Value::Null);
        let deliveries = "/app/hook/deliveries";
        assert_eq!(wrong("GET", deliveries, Some("per_page=100&cursor=v1_1")), None);
        assert_eq!(wrong("GET", "/app", None), None);
        let found = [
            wrong("GET", "/repos/a/b/nothing", None),
            wrong("PUT", "/repos/a/b", None),
            wrong("GET", deliveries, Some("page=2")),
            wrong("GET", deliveries, Some("per_page=many")),
            wrong_with("GET", deliveries, None, &json!({ "per_page": 1 })),
            wrong_with("POST", "/repos/a/b/statuses/c", None, &json!({ "state": "running" })),
            wrong("POST", "/repos/a/b/statuses/c", None),
        ];
        insta::assert_debug_snapshot!(found.map(Option::unwrap), @r#"
        [
            "get /repos/a/b/nothing: there is no such operation",
            "put /repos/a/b: there is no such operation",
            "get /app/hook/deliveries: the query has no page",
            "get /app/hook/deliveries: per_page: \"many\" is not of type \"integer\"",
            "get /app/hook/deliveries: it takes no body",
            "post /repos/{owner}/{repo}/statuses/{sha}: /state: \"running\" is not one of \"error\", \"failure\" or 2 other candidates",
            "post /repos/{owner}/{repo}/statuses/{sha}: : null is not of type \"object\"",
        ]
        "#);
    }

    #[test]
    fn what_may_be_null_may_be_null() {
        let mut schema = json!({ "properties": {
            "a": { "type": "string", "nullable": true, "enum": ["x"] },
            "b": { "nullable": true, "allOf": [{ "type": "integer" }] },
        } });
        say_null(&mut schema);
        let validator = jsonschema::validator_for(&schema).unwrap();
        assert!(validator.is_valid(&json!({ "a": null, "b": null })));
        assert!(validator.is_valid(&json!({ "a": "x", "b": 1 })));
        assert!(!validator.is_valid(&json!({ "a": "y" })) && !validator.is_valid(&json!({ "b": "y" })));
    }
}
