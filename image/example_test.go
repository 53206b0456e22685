package image_test

import (
	"fmt"

	"github.com/atelier-go/atelier/image"
)

func ExampleParse() {
	for _, s := range []string{"ubuntu", "rocker/rstudio:4.5", "localhost:5000/ide:dev"} {
		ref, err := image.Parse(s)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(ref)
	}
	_, err := image.Parse("Rocker/RStudio")
	fmt.Println(err)
	// Output:
	// docker.io/library/ubuntu:latest
	// docker.io/rocker/rstudio:4.5
	// localhost:5000/ide:dev
	// image: parse "Rocker/RStudio": invalid: repository "Rocker/RStudio": want lower-case letters
}
