// A test-only application: the real-node suite runs it under a real CometBFT. It has no dependencies.
module hufu.example/notices-app

go 1.22
