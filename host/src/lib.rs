//! Airlock: the runtime layer between an AI application and its models.
