<?php

function greet(string $name): string
{
    return "hello from $name\n";
}
