import { greet } from '@shop/greeting';

document.getElementById('greeting').textContent = greet('the page');
