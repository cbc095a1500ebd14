console.log('not a part of the api');
