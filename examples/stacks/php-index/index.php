<?php

// The oldest form of a program: a page in the root, and functions in a file beside it.
require __DIR__ . '/lib/greeting.php';

header('Content-Type: text/plain');
echo greet('a page of PHP');
