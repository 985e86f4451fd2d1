package rule

import (
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// strict makes a parsed rule one of doubles and of strict operators, in place, and gives the
// names of its variables. It refuses all that a rule does not have.
func strict(text string, tree *ast.AST) (names []string, err error) {
	refuse := func(e ast.Expr, what, instead string) {
		if err == nil {
			at := tree.SourceInfo().GetStartLocation(e.ID())
			err = fault(text, place{at.Line(), at.Column() + 1}, what, instead)
		}
	}
	factory := ast.NewExprFactory()
	ast.PostOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.LiteralKind:
			if !asDouble(factory, e) {
				refuse(e, "a text", "a rule compares numbers")
			}
		case ast.IdentKind:
			name := e.AsIdent()
			if !isVariable(name) {
				refuse(e, fmt.Sprintf("unknown name %s", name), suggestion(name))
			} else if !slices.Contains(names, name) {
				names = append(names, name)
			}
		case ast.CallKind:
			if name, ok := asOperator(factory, e); !ok {
				refuse(e, "a call of "+name, operator(name))
			}
		default:
			refuse(e, "a list, a map or a field", "a rule has the names "+known())
		}
	}))
	return names, err
}

// asDouble turns integers into doubles, and says whether e is a number or a condition.
func asDouble(factory ast.ExprFactory, e ast.Expr) bool {
	switch v := e.AsLiteral().(type) {
	case types.Int:
		e.SetKindCase(factory.NewLiteral(e.ID(), types.Double(v)))
	case types.Uint:
		e.SetKindCase(factory.NewLiteral(e.ID(), types.Double(v)))
	case types.Double, types.Bool:
	default:
		return false
	}
	return true
}

// asOperator gives a call the name of its sign, and says whether it is one that a rule has.
func asOperator(factory ast.ExprFactory, e ast.Expr) (name string, ok bool) {
	call := e.AsCall()
	name = call.FunctionName()
	if name == operators.Conditional {
		name = "?:"
	} else if sign, ok := operators.FindReverse(name); ok && sign != "" {
		name = sign
	}
	if _, ok := signs()[name]; !ok || call.IsMemberFunction() {
		return name, false
	}
	e.SetKindCase(factory.NewCall(e.ID(), name, call.Args()...))
	return name, true
}

// operator is what a rule has in the place of a function.
func operator(function string) string {
	if strings.EqualFold(function, "not") {
		return "a condition is turned around by !"
	}
	return "a rule has no functions, only + - * / % < <= > >= == != ! && || and ?:"
}

func isVariable(name string) bool {
	for _, variable := range variables {
		if variable.name == name {
			return true
		}
	}
	return false
}

func suggestion(name string) string {
	for _, variable := range variables {
		if strings.EqualFold(variable.name, name) {
			return "it is spelled " + variable.name
		}
	}
	return "the names are " + known()
}
