//! GitHub's own description of its API, held against what we send and against what the double answers.
//!
//! The description is OpenAPI 3.0, whose schemas are JSON Schema of an older draft with `nullable`.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex},
};

use serde_json::{Value, json};

use super::lock;

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

    /// What is wrong with an answer of the double.
    pub(super) fn reply(self, status: u16, body: &Value) -> Result<(), (String, String)> {
        self.check(&["responses", &status.to_string()], body)
    }

    fn check(self, part: &[&str], body: &Value) -> Result<(), (String, String)> {
        let Self(method, path) = self;
        let mut pointer = vec!["paths", path, method];
        pointer.extend(part.iter().chain(&["content", "application/json", "schema"]));
        let name = pointer.join(" ");
        let known = lock(&VALIDATORS).get(&name).cloned();
        let validator = match known {
            Some(validator) => validator,
            None => {
                let schema = pointer.iter().try_fold(&*DESCRIPTION, |value, step| value.get(step));
                let validator = schema.map(|schema| Arc::new(validator(schema)));
                lock(&VALIDATORS).insert(name, validator.clone());
                validator
            }
        };
        let Some(validator) = validator else { return Ok(()) };
        let wrong =
            |error: jsonschema::ValidationError<'_>| (error.instance_path().to_string(), error.to_string());
        validator.validate(body).map_err(wrong)
    }
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
