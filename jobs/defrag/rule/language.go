package rule

import (
	"math"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// signs are all that a rule may call, by the sign that a user writes: no text of a user's
// can call a function of such a name but by its operator. Under their own names CEL would
// compute && || and ?: itself, and forget errors.
func signs() map[string][]cel.FunctionOpt {
	condition, number := cel.BoolType, cel.DoubleType
	return map[string][]cel.FunctionOpt{
		"+": {arithmetic("add", func(a, b float64) float64 { return a + b })},
		"-": {arithmetic("subtract", func(a, b float64) float64 { return a - b }), negate()},
		"*": {arithmetic("multiply", func(a, b float64) float64 { return a * b })},
		"/": {arithmetic("divide", func(a, b float64) float64 { return a / b })},
		"%": {arithmetic("modulo", math.Mod)},

		"<":  {comparison("less", number, func(a, b float64) bool { return a < b })},
		"<=": {comparison("less_equals", number, func(a, b float64) bool { return a <= b })},
		">":  {comparison("greater", number, func(a, b float64) bool { return a > b })},
		">=": {comparison("greater_equals", number, func(a, b float64) bool { return a >= b })},

		"==": {
			comparison("equals", number, func(a, b float64) bool { return a == b }),
			comparison("same", condition, func(a, b bool) bool { return a == b }),
		},
		"!=": {
			comparison("not_equals", number, func(a, b float64) bool { return a != b }),
			comparison("other", condition, func(a, b bool) bool { return a != b }),
		},

		"&&": {comparison("and", condition, func(a, b bool) bool { return a && b })},
		"||": {comparison("or", condition, func(a, b bool) bool { return a || b })},
		"!":  {not()},
		"?:": {choice("choose_number", number), choice("choose_condition", condition)},
	}
}

// language is all that CEL has here: no function, macro or type of its standard library.
func language() []cel.EnvOption {
	var options []cel.EnvOption
	for _, variable := range variables {
		options = append(options, cel.Variable(variable.name, cel.DoubleType))
	}
	for sign, overloads := range signs() {
		options = append(options, cel.Function(sign, overloads...))
	}
	return options
}

// arithmetic answers with an error where the result is no finite number. CEL hands no error to
// a function as an argument, but returns it in the function's place.
func arithmetic(id string, f func(a, b float64) float64) cel.FunctionOpt {
	pair := []*cel.Type{cel.DoubleType, cel.DoubleType}
	return cel.Overload(id, pair, cel.DoubleType, cel.BinaryBinding(func(a, b ref.Val) ref.Val {
		x, y := float64(a.(types.Double)), float64(b.(types.Double))
		out := f(x, y)
		if math.IsNaN(out) || math.IsInf(out, 0) {
			return types.NewErr("%s of %g and %g is no number", id, x, y)
		}
		return types.Double(out)
	}))
}

func negate() cel.FunctionOpt {
	return cel.Overload("negate", []*cel.Type{cel.DoubleType}, cel.DoubleType,
		cel.UnaryBinding(func(a ref.Val) ref.Val { return -a.(types.Double) }))
}

func comparison[T float64 | bool](id string, of *cel.Type, f func(a, b T) bool) cel.FunctionOpt {
	return cel.Overload(id, []*cel.Type{of, of}, cel.BoolType, cel.BinaryBinding(func(a, b ref.Val) ref.Val {
		return types.Bool(f(a.Value().(T), b.Value().(T)))
	}))
}

func not() cel.FunctionOpt {
	return cel.Overload("not", []*cel.Type{cel.BoolType}, cel.BoolType,
		cel.UnaryBinding(func(a ref.Val) ref.Val { return !a.(types.Bool) }))
}

func choice(id string, of *cel.Type) cel.FunctionOpt {
	return cel.Overload(id, []*cel.Type{cel.BoolType, of, of}, of, cel.FunctionBinding(func(args ...ref.Val) ref.Val {
		if args[0].(types.Bool) {
			return args[1]
		}
		return args[2]
	}))
}
