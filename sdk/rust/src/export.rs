//! The macros that make a type the policy of a component.
//!
//! Each links two things into the guest: the functions of the world's interfaces, and the component type by which
//! `airlock-build` (or `wasm-tools component new`) knows the world. Natively they only check that the type has the traits.

/// Exports a type that is a [`Reasoner`](crate::Reasoner), as world `reasoner`.
#[macro_export]
macro_rules! export_reasoner {
    ($policy:ty) => {
        const _: fn() = $crate::glue::is_reasoner::<$policy>;
        $crate::__export!(
            $policy,
            REASONER,
            reasoning / __export_airlock_policy_reasoning_0_2_0_cabi
        );
    };
}

/// Exports a type that is an [`Actuator`](crate::Actuator), as world `actuator`.
#[macro_export]
macro_rules! export_actuator {
    ($policy:ty) => {
        const _: fn() = $crate::glue::is_actuator::<$policy>;
        $crate::__export!(
            $policy,
            ACTUATOR,
            acting / __export_airlock_policy_acting_0_2_0_cabi
        );
    };
}

/// Exports a type that is a [`Reasoner`](crate::Reasoner) and an [`Actuator`](crate::Actuator), as world `policy`.
#[macro_export]
macro_rules! export_policy {
    ($policy:ty) => {
        const _: fn() = $crate::glue::is_reasoner::<$policy>;
        const _: fn() = $crate::glue::is_actuator::<$policy>;
        $crate::__export!(
            $policy,
            POLICY,
            reasoning/__export_airlock_policy_reasoning_0_2_0_cabi
            acting/__export_airlock_policy_acting_0_2_0_cabi
        );
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($policy:ty, $world:ident, $($interface:ident/$cabi:ident)*) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            type Exported = $crate::glue::Component<$policy>;
            $crate::glue::exports::about::__export_airlock_policy_about_0_2_0_cabi!(
                Exported with_types_in $crate::glue::exports::about
            );
            $crate::glue::exports::sessions::__export_airlock_policy_sessions_0_2_0_cabi!(
                Exported with_types_in $crate::glue::exports::sessions
            );
            $($crate::glue::exports::$interface::$cabi!(
                Exported with_types_in $crate::glue::exports::$interface
            );)*
            #[used]
            #[unsafe(link_section = concat!("component-type:airlock-sdk:", stringify!($world)))]
            static COMPONENT_TYPE: [u8; $crate::glue::types::$world.len()] = *$crate::glue::types::$world;
        };
    };
}
