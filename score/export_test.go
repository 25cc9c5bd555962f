package score

// SampleData is sampleData for the tests outside the package.
var SampleData = sampleData
