//! Which call a result answers, where neither may have an id: the one with the stated id, else the first of that name that has
//! no result, else the first that has none.

/// The calls of the newest message that has any.
#[derive(Debug, Default)]
pub(in crate::dialect::ollama) struct Answered(Vec<Known>);

#[derive(Debug)]
struct Known {
    stated: String,
    name: String,
    /// The id by which Airlock knows it.
    id: String,
    answered: bool,
}

impl Answered {
    /// A message has calls: stated id and name of each, and the id by which it is known.
    pub fn called(&mut self, calls: impl Iterator<Item = ((String, String), String)>) {
        let calls: Vec<Known> = calls
            .map(|((stated, name), id)| Known {
                stated,
                name,
                id,
                answered: false,
            })
            .collect();
        if !calls.is_empty() {
            self.0 = calls;
        }
    }

    /// A result came that states this id and this name, either of which may be empty: id and name of its call.
    pub fn answer(&mut self, id: &str, name: &str) -> Option<(String, String)> {
        let by_id = |call: &Known| !id.is_empty() && call.stated == id;
        let by_name = |call: &Known| !call.answered && call.name == name;
        let calls = &mut self.0;
        let at = calls
            .iter()
            .position(by_id)
            .or_else(|| calls.iter().position(by_name))
            .or_else(|| calls.iter().position(|call| !call.answered))?;
        let call = calls.get_mut(at)?;
        call.answered = true;
        Some((call.id.clone(), call.name.clone()))
    }
}
